"""Parts of the command `report`: the page, its sections, its pictures, its style."""
