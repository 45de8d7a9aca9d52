"""What Streamlit is started with: its configuration, and the script that it runs."""
