"""What was moved, how it is followed, how it was checked: facts, and a page that shows them."""
