"""A written HTML page as a test reads it."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The text and the attributes of a page; any markup that is not closed as it was opened is an error."""

    VOID = ("meta", "br", "wbr", "img", "link")

    def __init__(self, path):
        super().__init__()
        self.words, self.attributes, self.open = [], [], []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        self.close()
        assert self.open == []
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)
