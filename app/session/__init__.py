"""The only package that touches session state, the page's link and caches."""
