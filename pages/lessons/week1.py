"""Week 1 of the lessons. Its texts, runs and questions stand in week-1.yaml."""

from pages.ui import lesson_page

lesson_page.draw("week-1")
