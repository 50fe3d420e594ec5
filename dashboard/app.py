"""The entry script Streamlit runs for everybody at every click: the frame, then the page."""

from dashboard import navigation

navigation.show()
