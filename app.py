"""Streamlit entry: `streamlit run app.py`."""

from vitviz.ui.app import main

main()
