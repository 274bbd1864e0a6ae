"""Make the table of product names' tokens and the triggers that keep it.

What: the function product_name_tokens, which makes comparable words of a text; the table
product_names with those of each product's brand, name and size; and triggers of
normalized_products that keep it, for writers in every language.
Why: a product is found by a receipt line without reading all products.
Phase: expand.
The previous code sees: a table that it does not know and needs no right on but to write products.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015_product_names"
down_revision = "0014_current_prices_filled"

# What is no ASCII counts as a letter, but for punctuation and symbols: no collation decides.
LETTERS = r"a-z\u00c0-\u1fff\u2c00-\U0010ffff"


def word(pattern: str) -> str:
    return f"(?<![{LETTERS}])({pattern})(?![{LETTERS}])"


# Applied in this order to text in lower case whose accents stand apart (NFKD).
STEPS = (
    (r"[\u0300-\u036f''`\u2019]", ""),  # accents, and apostrophes: Kellogg's is kelloggs
    (r"\u00d7", "x"),
    # Apart from letters and digits stay: 2%, and 1/2 and 15.4 between digits.
    (rf"[^0-9{LETTERS}%./]+|(?<![0-9])[%./]|[./](?![0-9])", " "),
    (word("fl *oz|fz"), "floz"),
    (word("lbs|pounds?"), "lb"),
    (word("ounces?"), "oz"),
    (word("pk|packs?|cnt|count"), "ct"),
    (word("gallons?"), "gal"),
    (rf"([0-9]) +(floz|oz|lb|g|kg|ml|l|gal|qt|pt|ct)(?![0-9{LETTERS}])", r"\1\2"),
    ("([^ ]{64})[^ ]+", r"\1"),  # a tsvector takes no word of any length
)


def tokens_of(text: str) -> str:
    for pattern, replacement in STEPS:
        text = f"regexp_replace({text}, '{pattern}', '{replacement}', 'g')"
    return f"array_to_tsvector(array_remove(string_to_array({text}, ' '), ''))"


TOKENS = f"""
CREATE FUNCTION public.product_name_tokens(name text) RETURNS tsvector
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN {tokens_of('lower(normalize(name, NFKD) COLLATE "C")')}
"""

COMMENT = """
COMMENT ON FUNCTION public.product_name_tokens(text) IS
  'The words of a text, comparable: 18 OZ and 18oz are one, accents and case do not count.'
"""

# In the order of the key, so that two writers never wait for each other in a circle.
AFTER_INSERT = """
CREATE FUNCTION public.product_names_after_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  INSERT INTO public.product_names AS n (normalized_product_id, tokens)
  SELECT
    id,
    public.product_name_tokens(concat_ws(' ', brand, canonical_name, size, size_unit))
  FROM new_rows
  ORDER BY id
  ON CONFLICT (normalized_product_id) DO UPDATE SET tokens = excluded.tokens;
  RETURN NULL;
END $$
"""

AFTER_UPDATE = """
CREATE FUNCTION public.product_names_after_update() RETURNS trigger
LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
  INSERT INTO public.product_names AS n (normalized_product_id, tokens)
  SELECT
    r.id,
    public.product_name_tokens(concat_ws(' ', r.brand, r.canonical_name, r.size, r.size_unit))
  FROM new_rows AS r
  LEFT JOIN old_rows AS o ON o.id = r.id
  WHERE (o.brand, o.canonical_name, o.size, o.size_unit)
    IS DISTINCT FROM (r.brand, r.canonical_name, r.size, r.size_unit)
  ORDER BY r.id
  ON CONFLICT (normalized_product_id) DO UPDATE SET tokens = excluded.tokens;
  RETURN NULL;
END $$
"""

TRIGGERS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
}


def upgrade() -> None:
    op.execute(TOKENS)
    op.execute(COMMENT)
    op.create_table(
        "product_names",
        sa.Column("normalized_product_id", sa.Uuid(), nullable=False),
        sa.Column(
            "tokens",
            postgresql.TSVECTOR(),
            nullable=False,
            comment="What product_name_tokens makes of the texts.",
        ),
        sa.Column(
            "token_count",
            sa.SmallInteger(),
            sa.Computed("length(tokens)", persisted=True),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("normalized_product_id", name=op.f("pk_product_names")),
        sa.ForeignKeyConstraint(
            ["normalized_product_id"],
            ["normalized_products.id"],
            name=op.f("fk_product_names_normalized_product_id"),
            ondelete="CASCADE",
        ),
        comment="The tokens of a product's brand, name and size; kept by triggers.",
    )
    # A search reads the list of the most common tokens, and only its head makes a difference.
    op.execute("ALTER TABLE product_names ALTER COLUMN tokens SET STATISTICS 10")
    op.execute(AFTER_INSERT)
    op.execute(AFTER_UPDATE)
    for change, rows in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER product_names_{change} AFTER {change} ON public.normalized_products"
            f" {rows} FOR EACH STATEMENT EXECUTE FUNCTION public.product_names_after_{change}()"
        )


def downgrade() -> None:
    for change in TRIGGERS:
        op.execute(f"DROP TRIGGER product_names_{change} ON public.normalized_products")
        op.execute(f"DROP FUNCTION public.product_names_after_{change}()")
    op.drop_table("product_names")
    op.execute("DROP FUNCTION public.product_name_tokens(text)")
