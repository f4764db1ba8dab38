"""Week 4 of the lessons. Its texts, runs and questions stand in week-4.yaml."""

from pages.ui import lesson_page

lesson_page.draw("week-4")
