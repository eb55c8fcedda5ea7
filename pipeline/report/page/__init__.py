"""The page of a job, report.html: one file that opens by double click, reaches no address, and shows the last run."""
