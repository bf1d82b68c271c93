"""What is on the screen as a file: Markdown, DOCX, PDF and CSV, all made from one `Report`."""
