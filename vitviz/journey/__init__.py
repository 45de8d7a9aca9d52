"""The journey of a photo through the model: one document of numbers, shown by one browser component
in the app, in a file of its own and in a notebook."""
