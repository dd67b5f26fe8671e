"""The Streamlit app: everything that imports streamlit or plotly, or makes HTML for it."""
