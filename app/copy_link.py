"""A button that copies the page's link, as HTML for st.iframe. Holds no text of a person."""

from __future__ import annotations

from app.theme import Theme

SCRIPT = """
const button = document.querySelector('button'), said = document.querySelector('span');
button.addEventListener('click', async () => {
  const link = window.parent.location.href;
  let done = false;
  try { await window.parent.navigator.clipboard.writeText(link); done = true; } catch (refused) {}
  if (!done) {  // not a secure page, or the browser refuses: the old way
    const field = document.createElement('textarea');
    field.value = link;
    document.body.appendChild(field);
    field.select();
    done = document.execCommand('copy');
    field.remove();
  }
  said.textContent = done ? 'Copied' : 'Copy the address above';
  setTimeout(() => { said.textContent = 'Copy link'; }, 2000);
});
"""


def copy_link(colours: Theme) -> str:
    """The button as a page of its own."""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
body {{ margin: 0; }}
button {{ font: 400 15px sans-serif; color: {colours.ink}; background: transparent; width: 100%;
  border: 1px solid {colours.grid}; border-radius: 6px; height: 40px; cursor: pointer; box-sizing: border-box; }}
button:hover, button:focus-visible {{ border-color: {colours.student}; color: {colours.student}; outline: none; }}
</style></head><body><button type="button"><span aria-live="polite">Copy link</span></button>
<script>{SCRIPT}</script></body></html>"""
