"""The subjects of the report, one file each: a subject is a function from the inputs to a `Section`."""
