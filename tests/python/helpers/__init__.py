"""What several test files need. Plain modules: import them by name, never from conftest."""
