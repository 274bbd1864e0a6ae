"""Make the function that finds products by name.

What: the function products_by_name, which searches product_names in steps.
Why: planning the search as one statement took longer than the search. A function keeps the
plans of its statements for the whole session, and does no step that is not needed.
Phase: expand.
The previous code sees: a function that it does not know.
"""

from __future__ import annotations

from alembic import op

revision = "0022_products_by_name"
down_revision = "0021_event_log_days"

# The plan may not depend on the words: to plan takes longer than to search, and the index is
# right for all of them.
SEARCH = """
CREATE FUNCTION public.products_by_name(
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
  END IF;
  -- What is more alike is quicker to find: first what is surely alike, and the one best match
  -- before that among what has all the words.
  steps := CASE
    WHEN after_id IS NOT NULL THEN ARRAY[lowest]
    WHEN most > 1 THEN ARRAY[greatest(7500, lowest), lowest]
    ELSE ARRAY[greatest((n - 1) * 10000 / n + 1, 7500, lowest), greatest(7500, lowest), lowest]
  END;
  FOREACH step IN ARRAY steps LOOP
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

COMMENT = """
COMMENT ON FUNCTION public.products_by_name(text, integer, bigint, numeric, uuid) IS
  'The most products whose words are most like those of a text, with a score of at least the'
  ' lowest, which is in ten-thousandths; of all, or of those behind a score and an id.'
"""


def upgrade() -> None:
    op.execute(SEARCH)
    op.execute(COMMENT)


def downgrade() -> None:
    op.execute("DROP FUNCTION public.products_by_name(text, integer, bigint, numeric, uuid)")
