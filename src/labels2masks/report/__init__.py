"""All that a person looks at: the check of a data set, its contact sheet, overlays."""
