"""``memprof top``: the page's figures in a terminal."""
