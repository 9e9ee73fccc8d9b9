"""A Jinja environment with 400 templates, a few of which are asked for often: its cache fills for a long time."""

import jinja2
from flask import Flask

SOURCES = {f"page{i}": f"<h1>{i}</h1>{{% for row in rows %}}{{{{ row|upper }}}} {i}{{% endfor %}}" for i in range(400)}
environment = jinja2.Environment(loader=jinja2.DictLoader(SOURCES), cache_size=350, autoescape=True)
app = Flask(__name__)


@app.route("/page/<int:number>")
def page(number):
    return environment.get_template(f"page{number % 400}").render(rows=["a", "b"])
