"""The report's formats, one file each: HTML, Markdown, terminal and JSON."""
