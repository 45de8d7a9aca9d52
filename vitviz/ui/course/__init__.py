"""What a lesson is: steps, questions, worksheets, and widgets that lessons share."""
