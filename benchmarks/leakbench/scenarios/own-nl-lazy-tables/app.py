"""Shipping rates by country, read when the first parcel goes there: 60 tables, and the small countries come late."""

import sqlalchemy
from flask import Flask, jsonify
from sqlalchemy import Column, Integer, MetaData, String, Table, select

app = Flask(__name__)
engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
metadata, RATES = MetaData(), {}


class Rate:
    def __init__(self, country, weight):
        self.country, self.weight, self.price = country, weight, [weight * 2, weight * 3]


def load(country):
    table = Table(f"rates_{country}", metadata, Column("weight", Integer), Column("name", String))
    metadata.create_all(engine, tables=[table])
    with engine.connect() as connection:
        connection.execute(select(table)).all()
    return [Rate(country, weight) for weight in range(80)]


@app.route("/rate/<int:number>")
def rate(number):
    country = number % 60
    rates = RATES.get(country) or RATES.setdefault(country, load(country))
    return jsonify(rates=len(rates))
