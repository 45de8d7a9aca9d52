"""Streamlit entry of a checkout: `streamlit run app.py`, the same as `vitviz app`."""

from vitviz.ui.app import main

main()
