"""Find the one product that is most like a name in one step.

What: the function products_by_name seeks the one best match by a statement of its own, and the
function product_name_tokens is called with NULL too, of which it makes NULL as before.
Why: what has all the words needs no scoring, and PostgreSQL puts a function that is not STRICT
into the statements that call it, which saves a part of each call.
Phase: expand.
The previous code sees: the same functions with the same results.
"""

from __future__ import annotations

from alembic import op

revision = "0024_one_product_by_name"
down_revision = "0023_record_purchase"

FIRST_AS_BEFORE = """
  -- What is more alike is quicker to find: first what is surely alike, and the one best match
  -- before that among what has all the words.
  steps := CASE
    WHEN after_id IS NOT NULL THEN ARRAY[lowest]
    WHEN most > 1 THEN ARRAY[greatest(7500, lowest), lowest]
    ELSE ARRAY[greatest((n - 1) * 10000 / n + 1, 7500, lowest), greatest(7500, lowest), lowest]
  END;
"""

FIRST = """
  IF most = 1 AND after_id IS NULL THEN
    -- What has all the words and few others is more alike than all that lacks a word, and the
    -- fewer words it has the more alike it is. What has four of them mostly has the rest: to
    -- read it takes less than the index takes for more words. The last four, because amounts
    -- come first, which many products share.
    above := greatest((n - 1) * 10000 / n + 1, 7500, lowest);
    RETURN QUERY
      SELECT p.normalized_product_id, trunc(CAST(n AS numeric) / p.token_count, 4)
      FROM public.product_names AS p
      WHERE p.tokens @@ CAST('''' || array_to_string(words[n - 3 :], ''' & ''') || '''' AS tsquery)
        AND p.token_count BETWEEN n AND n * 10000 / above
        AND p.token_count - length(ts_delete(p.tokens, words)) = n
      ORDER BY p.token_count, p.normalized_product_id
      LIMIT 1;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;
  -- What is more alike is quicker to find: first what is surely alike.
  steps := CASE
    WHEN after_id IS NOT NULL THEN ARRAY[lowest] ELSE ARRAY[greatest(7500, lowest), lowest]
  END;
"""


def search(first: str) -> str:
    # The plan may not depend on the words: to plan takes longer than to search, and the index
    # is right for all of them.
    return f"""
CREATE OR REPLACE FUNCTION public.products_by_name(
  name text, lowest integer, most bigint, after_score numeric, after_id uuid
) RETURNS TABLE (normalized_product_id uuid, score numeric)
LANGUAGE plpgsql STABLE ROWS 10
SET search_path = '' SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  words CONSTANT text[] := tsvector_to_array(public.product_name_tokens(name));
  n CONSTANT integer := cardinality(words);
  by_rarity text[];
  steps integer[];
  step integer;
  above integer := 10001;  -- no score is: what has been found has at least this one
  need integer;
  together integer;
  rarest integer;
  terms text;
  room bigint := most;
  added bigint;
BEGIN
  IF n = 0 THEN
    RETURN;
  END IF;{first}  FOREACH step IN ARRAY steps LOOP
    CONTINUE WHEN step >= above;
    need := (n * step + 9999) / 10000;
    IF need = n THEN
      terms := '''' || array_to_string(words, ''' & ''') || '''';
    ELSE
      IF by_rarity IS NULL THEN
        by_rarity := ARRAY(
          SELECT '''' || word || ''''
          FROM unnest(words) AS w (word)
          LEFT JOIN (
            SELECT list.word, list.share
            FROM pg_stats AS s, unnest(
              CAST(CAST(s.most_common_elems AS text) AS text[]), s.most_common_elem_freqs
            ) AS list (word, share)
            WHERE s.schemaname = 'public' AND s.tablename = 'product_names'
              AND s.attname = 'tokens'
          ) AS common USING (word)
          ORDER BY coalesce(share, 0), length(word) DESC, word
        );
      END IF;
      -- To read, score and drop what shares few words would take longer than the index does
      -- to see it. A long text has too many threes, and is looked up by pairs or single words.
      together := CASE
        WHEN need > 2 AND n - need <= 8 THEN 3 WHEN need > 1 AND n - need <= 18 THEN 2 ELSE 1
      END;
      rarest := n - need + together;
      terms := array_to_string(CASE together
        WHEN 3 THEN ARRAY(
          SELECT by_rarity[a] || ' & ' || by_rarity[b]
            || ' & (' || array_to_string(by_rarity[b + 1 : rarest], ' | ') || ')'
          FROM generate_series(1, rarest - 2) AS a, generate_series(a + 1, rarest - 1) AS b
        )
        WHEN 2 THEN ARRAY(
          SELECT by_rarity[a] || ' & (' || array_to_string(by_rarity[a + 1 : rarest], ' | ') || ')'
          FROM generate_series(1, rarest - 1) AS a
        )
        ELSE by_rarity[1 : rarest]
      END, ' | ');
    END IF;
    RETURN QUERY
      SELECT alike.normalized_product_id, s.score
      FROM (
        SELECT p.normalized_product_id, p.token_count + n AS counted,
          p.token_count - length(ts_delete(p.tokens, words)) AS shared
        FROM public.product_names AS p
        WHERE p.tokens @@ CAST(terms AS tsquery)
          AND p.token_count BETWEEN need AND n * 10000 / step
      ) AS alike
      CROSS JOIN LATERAL (
        SELECT trunc(CAST(shared AS numeric) / (counted - shared), 4) AS score
      ) AS s
      WHERE shared * (10000 + step) >= counted * step AND shared * (10000 + above) < counted * above
        AND (
          after_id IS NULL OR s.score < after_score
          OR s.score = after_score AND alike.normalized_product_id > after_id
        )
      ORDER BY s.score DESC, alike.normalized_product_id
      LIMIT room;
    GET DIAGNOSTICS added = ROW_COUNT;
    room := room - added;
    EXIT WHEN room <= 0;
    above := step;
  END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute(search(FIRST))
    op.execute("ALTER FUNCTION public.product_name_tokens(text) CALLED ON NULL INPUT")


def downgrade() -> None:
    op.execute("ALTER FUNCTION public.product_name_tokens(text) STRICT")
    op.execute(search(FIRST_AS_BEFORE))
