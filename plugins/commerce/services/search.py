"""Finding products by words, also misspelt ones: full text first, and what is spelt alike where that finds nothing."""

from __future__ import annotations

import html

import sqlalchemy as sa

from core.data import db
from plugins.commerce.models import Product
from plugins.commerce.schemas import Found, ProductSearch, SearchResult

# Private-use characters, which no product has in its name: the text between is escaped first, and these become tags.
BEGIN, END = "\ue000", "\ue001"
HOW = f"StartSel={BEGIN},StopSel={END},MaxFragments=2,MinWords=5,MaxWords=18"
ALIKE = 0.4
"""How alike a word must be to one in a name, by its trigrams; PostgreSQL's own 0.6 passes over most slips."""


def search(query: ProductSearch) -> SearchResult:
    """The best products for some words. ``alike`` tells that nothing had those words, and these are spelt alike."""
    found = _by_words(query)
    return SearchResult(found or _by_spelling(query), alike=not found)


def _by_words(query: ProductSearch) -> list[Found]:
    words = sa.func.websearch_to_tsquery("english", query.q).op("||")(sa.func.websearch_to_tsquery("simple", query.q))
    rank = sa.func.ts_rank_cd(Product.search_vector, words, 32)
    best = (
        sa.select(
            Product.id,
            Product.sku,
            Product.name,
            Product.description,
            Product.price,
            Product.currency,
            rank.label("rank"),
        )
        .where(Product.search_vector.op("@@")(words), *_for_sale())
        .order_by(rank.desc(), Product.id)
        .limit(query.limit)
        .subquery()
    )
    # Only those that are shown are worth the work of marking.
    text = sa.func.concat_ws(" ", best.c.name, best.c.description)
    marked = sa.func.ts_headline("english", text, words, HOW)
    rows = db.session.execute(
        sa.select(best.c.id, best.c.sku, best.c.name, best.c.price, best.c.currency, best.c.rank, marked).order_by(
            best.c.rank.desc(), best.c.id
        )
    )
    return [Found(*row[:6], _safe(row[6])) for row in rows]


def _by_spelling(query: ProductSearch) -> list[Found]:
    db.session.execute(sa.select(sa.func.set_config("pg_trgm.word_similarity_threshold", str(ALIKE), True)))
    alike = sa.func.word_similarity(query.q, Product.name)
    wanted = (
        sa.select(Product.id, Product.sku, Product.name, Product.price, Product.currency, alike)
        .where(sa.literal(query.q).op("<%")(Product.name), *_for_sale())
        .order_by(alike.desc(), Product.id)
        .limit(query.limit)
    )
    return [
        Found(id, sku, name, price, currency, rank, html.escape(name))
        for id, sku, name, price, currency, rank in db.session.execute(wanted)
    ]


def _for_sale() -> tuple[sa.ColumnElement[bool], ...]:
    return Product.deleted_at.is_(None), Product.status == "active"


def _safe(text: str) -> str:
    """HTML in which nothing but the marks is a tag."""
    return html.escape(text).replace(BEGIN, "<mark>").replace(END, "</mark>")
