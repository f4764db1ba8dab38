"""The app's pages, one folder per section of the navigation, and what they share in `ui`."""
