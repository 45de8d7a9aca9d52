"""How good a map is: faithfulness, localisation, and both over a folder of photos."""
