"""The state as HTML, and pictures as SVG."""
