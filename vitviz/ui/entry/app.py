"""The script that Streamlit runs: `vitviz app`."""

from vitviz.ui.app import main

main()
