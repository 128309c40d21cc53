"""The catalog queries of the schema comparison, for a search path of `pg_catalog` alone.

The queries must return the same text on PostgreSQL 15 to 18. So the queries leave out NOT NULL constraints,
which are rows of `pg_constraint` only since version 18. The column definitions include NOT NULL.

A `tree` is an expression as PostgreSQL stores it, with the oids of its functions. The text of the expression
in a definition has only names, and may leave out a function.
"""

from __future__ import annotations

FIRST_UNPINNED = 12000  # PostgreSQL's FirstUnpinnedObjectId: lower oids are the same in every server of a version
FIRST_NORMAL = 16384  # PostgreSQL's FirstNormalObjectId: lower oids are made by initdb, or by hand
_OPERATORS = "'=', '<>', '<', '<=', '>', '>=', '~~', '!~~', '~~*', '||', '->', '->>'"


def _not_of_initdb(oid: str) -> str:
    """Return the SQL condition that the object was not made by initdb. The condition tests the object's oid.

    Oids from `FIRST_UNPINNED` to `FIRST_NORMAL` are special: initdb makes such objects only in the information
    schema. In other schemas, an object with such an oid meets the condition. A superuser can plant a row with any
    oid.
    """
    return f"{oid} >= CASE n.nspname WHEN 'information_schema' THEN {FIRST_NORMAL} ELSE {FIRST_UNPINNED} END"


def _no_member(catalog: str, oid: str) -> str:
    """Return the SQL condition that the object belongs to no extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid}"
        " AND d.deptype = 'e')"
    )


RELATIONS = """
SELECT c.relname AS owner,
    CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialised view'
        WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE 'type' END || ' ' || c.relname AS name,
    concat_ws(', ',
        CASE c.relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(c.oid) END,
        (SELECT partdefid::regclass || ' by default' FROM pg_partitioned_table WHERE partrelid = c.oid),
        CASE WHEN c.relkind = 'p' AND NOT c.relhassubclass THEN 'its partitions not read' END,
        CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END,
        'stored by ' || (SELECT amname FROM pg_am WHERE oid = c.relam AND c.relkind <> 'p'),
        CASE WHEN c.relrowsecurity THEN 'with row security' END,
        CASE WHEN c.relforcerowsecurity THEN 'with forced row security' END,
        CASE WHEN c.reloftype <> 0 THEN 'of a type' END,
        CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
        (SELECT format('%s from %s by %s between %s and %s%s%s', format_type(seqtypid, NULL), seqstart, seqincrement,
            seqmin, seqmax, CASE WHEN seqcycle THEN ', over again' END,
            CASE WHEN seqcache <> 1 THEN format(', %s at once', seqcache) END) FROM pg_sequence WHERE seqrelid = c.oid)
    ) AS definition,
    (SELECT partexprs::text FROM pg_partitioned_table WHERE partrelid = c.oid) AS tree
FROM pg_class c WHERE c.relnamespace = :ours AND c.relkind NOT IN ('i', 'I', 't')
    AND (c.relkind NOT IN ('v', 'S', 'f', 'm') OR NO_MEMBER) AND (c.relkind <> 'c' OR NO_TYPE_OF_AN_EXTENSION)
""".replace("NO_MEMBER", _no_member("pg_class", "c.oid")).replace(
    "NO_TYPE_OF_AN_EXTENSION", _no_member("pg_type", "c.reltype")
)

TABLES_OF_SCHEMA = """
SELECT c.oid::bigint AS oid, c.relname::text AS name FROM pg_class c
WHERE c.relnamespace = :ours AND c.relkind IN ('r', 'p')
"""

COLUMNS = """
SELECT a.attrelid::bigint AS table, a.attnum AS number, a.attname::text AS name,
    format_type(a.atttypid, a.atttypmod) AS type, a.attcollation::bigint AS collation,
    concat_ws(' ', CASE WHEN a.attnotnull THEN 'NOT NULL' END,
        CASE a.attidentity WHEN '' THEN NULL ELSE 'IDENTITY ' || a.attidentity::text END,
        CASE a.attgenerated WHEN '' THEN NULL ELSE 'GENERATED ' || a.attgenerated::text END) AS others
FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped
"""

COLLATIONS = "SELECT oid::bigint AS oid, concat(collnamespace::regnamespace, '.', collname) AS name FROM pg_collation"

PLACES_OF_DEFAULTS = "SELECT adrelid::bigint AS table, adnum AS number, ctid::text AS place FROM pg_attrdef"

DEFAULTS = """
SELECT adrelid::bigint AS table, adnum AS number, left(pg_get_expr(adbin, adrelid), :longest) AS definition,
    left(adbin::text, :longest_tree) AS tree
FROM pg_attrdef WHERE ctid = ANY(CAST(:places AS tid[]))
"""

# The name of a partition's constraint or index is arbitrary, so the query shows the name of its parent.
CONSTRAINTS = """
SELECT c.relname AS owner,
    format('constraint %s of %s', coalesce((SELECT p.conname FROM pg_constraint p WHERE p.oid = k.conparentid),
        k.conname), c.relname) AS name,
    concat_ws(', ', pg_get_constraintdef(k.oid), CASE WHEN NOT k.convalidated THEN 'not validated' END,
        CASE WHEN k.connoinherit AND k.contype = 'c' THEN 'not inherited' END,
        (SELECT 'compared by ' || string_agg(equal::regoperator::text, ' ' ORDER BY number)
            FROM unnest(k.conpfeqop || k.conppeqop || k.conffeqop || k.conexclop)
            WITH ORDINALITY AS each (equal, number))) AS definition,
    k.conbin::text AS tree
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = :ours AND k.contype <> 'n'
"""

# In the definition of an index: its class or the type of its column may compare values by foreign functions.
FOREIGN_MARKS = (" of a foreign schema", " not of PostgreSQL", " for several types", " of a foreign type")
INDEXES = f"""
SELECT c.relname AS owner,
    format('index %s of %s', coalesce((SELECT p.relname FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
        WHERE h.inhrelid = x.oid), x.relname), c.relname) AS name,
    concat_ws(' ', CASE WHEN i.indisunique THEN 'UNIQUE' END,
        CASE WHEN to_jsonb(i) ->> 'indnullsnotdistinct' = 'true' THEN 'NULLS NOT DISTINCT' END,
        CASE WHEN i.indisprimary THEN 'PRIMARY' END, (SELECT amname FROM pg_am WHERE oid = x.relam),
        '(' || (SELECT string_agg(concat_ws(' ', pg_get_indexdef(x.oid, number, false), s.opcname,
                CASE WHEN s.opcnamespace <> 'pg_catalog'::regnamespace THEN 'of a foreign schema' END,
                CASE WHEN s.oid >= {FIRST_UNPINNED} OR s.opcmethod <> x.relam THEN 'not of PostgreSQL' END,
                CASE WHEN (SELECT typtype FROM pg_type WHERE oid = s.opcintype) = 'p' THEN 'for several types' END,
                CASE WHEN (SELECT max(atttypid::bigint) FROM pg_attribute WHERE attrelid = c.oid
                    AND attnum = i.indkey[number - 1]) >= {FIRST_UNPINNED} THEN 'of a foreign type' END,
                (SELECT CASE l.collnamespace WHEN 'pg_catalog'::regnamespace THEN '' ELSE 'foreign ' END || l.collname
                    FROM pg_collation l WHERE l.oid = i.indcollation[number - 1]),
                CASE i.indoption[number - 1] WHEN 0 THEN NULL ELSE 'in order ' || i.indoption[number - 1] END),
            ', ' ORDER BY number) FROM generate_series(1, i.indnkeyatts) number
            LEFT JOIN pg_opclass s ON s.oid = i.indclass[number - 1]) || ')',
        (SELECT 'INCLUDE (' || string_agg(pg_get_indexdef(x.oid, number, false), ', ' ORDER BY number) || ')'
            FROM generate_series(i.indnkeyatts + 1, i.indnatts) number),
        'WHERE ' || pg_get_expr(i.indpred, i.indrelid),
        CASE WHEN NOT i.indisvalid THEN 'not valid' END, CASE WHEN NOT i.indisready THEN 'not ready' END,
        CASE WHEN NOT i.indislive THEN 'not live' END, CASE WHEN NOT i.indimmediate THEN 'deferred' END,
        CASE WHEN i.indisexclusion THEN 'exclusion' END
    ) AS definition,
    concat(i.indexprs::text, i.indpred::text) AS tree
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = :ours AND c.relkind IN ('r', 'p', 'm')
"""  # noqa: S608 - of constants

BTREES_OF_SCHEMA = """
SELECT x.relname AS name, c.relname AS table_name, c.oid::regclass::text AS qualified,
    (SELECT array_agg(pg_get_indexdef(x.oid, number, false) ORDER BY number)
        FROM generate_series(1, i.indnkeyatts) number) AS keys,
    (SELECT array_agg(i.indoption[number - 1]::int ORDER BY number) FROM generate_series(1, i.indnkeyatts) number)
        AS options,
    pg_get_expr(i.indpred, i.indrelid) AS condition, i.indisunique AS is_unique
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am a ON a.oid = x.relam
    JOIN pg_class c ON c.oid = i.indrelid
WHERE x.relkind = 'i' AND a.amname = 'btree' AND c.relkind = 'r' AND c.relnamespace = :schema
    AND i.indexprs IS NULL
ORDER BY c.relname, x.relname
"""

LACKED_TABLES = """
SELECT c.relname AS name, quote_ident(n.nspname) AS schema, quote_ident(pg_get_userbyid(c.relowner)) AS owner,
    quote_ident(current_user) AS role
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relnamespace = :schema AND c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, 'SELECT')
ORDER BY 1
"""
# Without the functions that initdb itself reserves for some roles.
LACKED_FUNCTIONS = f"""
SELECT p.proname AS name, format('%s(%s)', p.proname, oidvectortypes(p.proargtypes)) AS signature FROM pg_proc p
WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.oid < {FIRST_NORMAL}
    AND NOT has_function_privilege(p.oid, 'EXECUTE')
    AND NOT EXISTS (SELECT FROM pg_init_privs i WHERE i.classoid = 'pg_proc'::regclass AND i.objoid = p.oid)
ORDER BY 2
"""  # noqa: S608 - of constants

TRIGGERS = """
SELECT c.relname AS owner, format('trigger %s of %s', g.tgname, c.relname) AS name,
    concat_ws(' ', pg_get_triggerdef(g.oid), CASE g.tgenabled WHEN 'O' THEN NULL ELSE 'not enabled' END) AS definition,
    g.tgqual::text AS tree
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE c.relnamespace = :ours AND NOT g.tgisinternal
UNION ALL
SELECT c.relname, format('trigger %s of %s for constraint %s', p.proname, c.relname,
        coalesce((SELECT coalesce(p.conname, k.conname) FROM pg_constraint k
            LEFT JOIN pg_constraint p ON p.oid = k.conparentid WHERE k.oid = g.tgconstraint), 'none')),
    concat_ws(' ', n.nspname, g.tgtype, CASE g.tgenabled WHEN 'O' THEN NULL ELSE 'not enabled' END), g.tgqual::text
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
    JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE c.relnamespace = :ours AND g.tgisinternal
"""

RULES = """
SELECT c.relname AS owner, format('rule %s of %s', r.rulename, c.relname) AS name,
    concat_ws(' ', pg_get_ruledef(r.oid), CASE r.ev_enabled WHEN 'O' THEN NULL ELSE 'not enabled' END) AS definition,
    NULL AS tree
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
WHERE c.relnamespace = :ours AND c.relkind IN ('r', 'p', 'f')
UNION ALL
SELECT c.relname, format('policy %s of %s', p.polname, c.relname),
    concat_ws(' ', p.polcmd::text, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), NULL
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = :ours
"""

PARTITIONS = """
SELECT c.relname AS owner,
    format('partition %s', CASE WHEN c.relnamespace = :ours THEN c.relname ELSE format('%I.%I', n.nspname, c.relname)
        END) AS name,
    concat_ws(' ', h.inhparent::regclass::text, pg_get_expr(c.relpartbound, c.oid),
        CASE WHEN NOT c.relispartition THEN 'by inheritance' END,
        CASE WHEN to_jsonb(h) ->> 'inhdetachpending' = 'true' THEN 'being detached' END) AS definition,
    c.relpartbound::text AS tree
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class p ON p.oid = h.inhparent
WHERE :ours IN (p.relnamespace, c.relnamespace) AND p.relkind IN ('r', 'p', 'f')
"""

# The names of functions, operators, types and collations. An expression has only their oids.
NAMES_OF_OIDS = """
SELECT 'function ' || number AS key, number::oid::regprocedure::text AS name
    FROM unnest(CAST(:functions AS bigint[])) AS number
UNION ALL SELECT 'operator ' || number, number::oid::regoperator::text
    FROM unnest(CAST(:operators AS bigint[])) AS number
UNION ALL SELECT 'type ' || number, number::oid::regtype::text FROM unnest(CAST(:types AS bigint[])) AS number
UNION ALL SELECT 'collation ' || number, number::oid::regcollation::text
    FROM unnest(CAST(:collations AS bigint[])) AS number
"""

OBJECTS_OF_SCHEMA = (RELATIONS, CONSTRAINTS, INDEXES, TRIGGERS, RULES, PARTITIONS)

# A function or operator of an extension, or in pg_catalog, is a finding only if a statement of AuthSec could call it:
# if it has the name of a built-in one, and takes only built-in types.
FUNCTIONS = f"""
SELECT format('function %s', p.oid::regprocedure) AS name,
    (SELECT lanname FROM pg_language WHERE oid = p.prolang)::text AS definition
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = ANY(:schemas) AND {_not_of_initdb("p.oid")}
    AND ((n.nspname <> 'pg_catalog' AND {_no_member("pg_proc", "p.oid")}) OR (
        p.pronargs > 0 AND (SELECT bool_and(argument < {FIRST_NORMAL}) FROM unnest(p.proargtypes::oid[]) argument)
        AND EXISTS (SELECT FROM pg_proc b WHERE b.proname = p.proname AND b.pronamespace = 'pg_catalog'::regnamespace
            AND b.oid < {FIRST_UNPINNED})))
"""  # noqa: S608 - of constants

OPERATORS = f"""
SELECT format('operator %s', o.oid::regoperator) AS name, o.oprcode::text AS definition
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE n.nspname = ANY(:schemas) AND o.oid >= {FIRST_UNPINNED}
    AND ((n.nspname <> 'pg_catalog' AND {_no_member("pg_operator", "o.oid")}) OR (
        o.oprname IN ({_OPERATORS}) AND o.oprleft < {FIRST_NORMAL} AND o.oprright < {FIRST_NORMAL}))
"""  # noqa: S608 - of constants

TYPES = f"""
SELECT format('type %s', t.oid::regtype) AS name, t.typtype::text AS definition
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = ANY(:schemas) AND n.nspname <> 'pg_catalog' AND {_not_of_initdb("t.oid")} AND t.typrelid = 0
    AND {_no_member("pg_type", "t.oid")} AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
UNION ALL
SELECT format('collation %I.%I', n.nspname, l.collname), l.collprovider::text
FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
WHERE n.nspname = ANY(:schemas) AND n.nspname <> 'pg_catalog' AND {_not_of_initdb("l.oid")}
    AND {_no_member("pg_collation", "l.oid")}
UNION ALL
SELECT format('conversion %I.%I', n.nspname, v.conname), v.conproc::text
FROM pg_conversion v JOIN pg_namespace n ON n.oid = v.connamespace
WHERE n.nspname = ANY(:schemas) AND v.oid >= {FIRST_UNPINNED}
UNION ALL
SELECT format('operator class %I.%I', n.nspname, s.opcname), s.opcintype::regtype::text
FROM pg_opclass s JOIN pg_namespace n ON n.oid = s.opcnamespace
WHERE s.oid >= {FIRST_UNPINNED} AND s.opcintype < {FIRST_NORMAL} AND (s.opcdefault OR (n.nspname = ANY(:schemas)
    AND {_no_member("pg_opclass", "s.oid")}))
    AND s.opcmethod IN (SELECT oid FROM pg_am WHERE amname IN ('btree', 'hash'))
"""  # noqa: S608 - of constants

OBJECTS_OF_PATH = (FUNCTIONS, OPERATORS, TYPES)

CASTS = f"""
SELECT format('cast from %s to %s', s.castsource::regtype, s.casttarget::regtype) AS name,
    concat_ws(' ', s.castcontext::text, s.castmethod::text) AS definition
FROM pg_cast s WHERE s.oid >= {FIRST_UNPINNED} AND (
    {_no_member("pg_cast", "s.oid")} OR (s.castsource < {FIRST_NORMAL} AND s.casttarget < {FIRST_NORMAL}))
"""  # noqa: S608 - of constants

# PostgreSQL's own comparisons and conversions, which a superuser can replace: the planner takes the body of an SQL
# function in place of the built-in one. All of it is the same in PostgreSQL 15 to 18.
_OURS = """('bool'::regtype, 'bytea'::regtype, 'int4'::regtype, 'int8'::regtype, 'text'::regtype, 'varchar'::regtype,
    'timestamptz'::regtype, 'json'::regtype)"""
COMPARISONS = f"""
SELECT format('operator %s', o.oid::regoperator) AS name,
    concat_ws(' ', p.proname, (SELECT lanname FROM pg_language WHERE oid = p.prolang),
        (SELECT oprname FROM pg_operator WHERE oid = o.oprcom),
        (SELECT oprname FROM pg_operator WHERE oid = o.oprnegate)) AS definition
FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
WHERE o.oid < {FIRST_NORMAL} AND o.oprname IN ('=', '<>', '<', '<=', '>', '>=', '~~') AND o.oprleft = o.oprright
    AND o.oprleft IN {_OURS}
UNION ALL
SELECT format('operator class %s of %s', s.opcname, a.amname),
    (SELECT string_agg(m.amopopr::regoperator::text, ', ' ORDER BY m.amopstrategy) FROM pg_amop m
        WHERE m.amopfamily = s.opcfamily AND m.amoplefttype = s.opcintype AND m.amoprighttype = s.opcintype)
    || ', ' || (SELECT string_agg(r.amproc::oid::regprocedure::text, ', ' ORDER BY r.amprocnum) FROM pg_amproc r
        WHERE r.amprocfamily = s.opcfamily AND r.amproclefttype = s.opcintype AND r.amprocrighttype = s.opcintype
        AND r.amprocnum = 1)
FROM pg_opclass s JOIN pg_am a ON a.oid = s.opcmethod
WHERE s.oid < {FIRST_NORMAL} AND a.amname = 'btree' AND s.opcdefault AND s.opcintype IN {_OURS}
UNION ALL
SELECT format('access method %s', amname), amhandler::text FROM pg_am
WHERE amname IN ('heap', 'btree') OR (oid >= {FIRST_UNPINNED} AND {_no_member("pg_am", "pg_am.oid")})
UNION ALL
SELECT format('cast from %s to %s', s.castsource::regtype, s.casttarget::regtype),
    concat_ws(' ', s.castcontext::text, s.castmethod::text, (SELECT proname FROM pg_proc WHERE oid = s.castfunc))
FROM pg_cast s WHERE s.oid < {FIRST_NORMAL} AND s.castsource IN {_OURS} AND s.casttarget IN {_OURS}
    AND 'bytea'::regtype NOT IN (s.castsource, s.casttarget)
UNION ALL
SELECT format('type %s', t.oid::regtype), concat_ws(' ', t.typinput, t.typoutput, t.typreceive, t.typsend)
FROM pg_type t WHERE t.oid IN {_OURS}
UNION ALL
SELECT format('aggregate %s', g.aggfnoid::oid::regprocedure),
    concat_ws(' ', g.aggtransfn, (SELECT proname FROM pg_proc WHERE oid = g.aggfinalfn),
        (SELECT oprname FROM pg_operator WHERE oid = g.aggsortop))
FROM pg_aggregate g JOIN pg_proc p ON p.oid = g.aggfnoid
WHERE p.oid < {FIRST_NORMAL} AND (p.proname = 'count' OR (p.proname IN ('max', 'min', 'sum')
    AND p.proargtypes[0] IN ('int4'::regtype, 'int8'::regtype, 'text'::regtype, 'timestamptz'::regtype)))
UNION ALL
SELECT format('function %s', p.oid::regprocedure), (SELECT lanname FROM pg_language WHERE oid = p.prolang)::text
FROM pg_proc p WHERE p.oid < {FIRST_NORMAL} AND p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind <> 'a'
    AND p.proname IN ('lower', 'upper', 'int8inc', 'int8inc_any', 'json_array_elements', 'json_object_field',
        'json_object_field_text', 'text', 'varchar')
    AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql')
"""  # noqa: S608 - of constants

DATABASE_WIDE = (CASTS, COMPARISONS)

# A schema is found as sessions find it: a row of pg_namespace that the index lacks could have the same name.
HOME = """
SELECT n.oid::bigint, n.nspname::text FROM unnest(CAST(:path AS name[])) WITH ORDINALITY AS place (schema, number)
    JOIN pg_namespace n ON n.oid = to_regnamespace(quote_ident(place.schema::text))
    JOIN pg_class c ON c.relnamespace = n.oid
WHERE c.relkind IN ('r', 'p')
  AND c.relname IN ('events', 'sealed_events', 'checkpoints', 'authority', 'alembic_version')
GROUP BY n.oid, n.nspname, place.number ORDER BY count(*) DESC, place.number LIMIT 1
"""

# For each table of AuthSec: the first schema of the search path that has a relation of this name.
FIRST_OF_PATH = """
SELECT DISTINCT ON (c.relname) c.relname AS name, n.nspname AS schema, n.oid = :ours AS own
FROM unnest(CAST(:path AS name[])) WITH ORDINALITY AS place (schema, number)
    JOIN pg_namespace n ON n.oid = to_regnamespace(quote_ident(place.schema::text))
    JOIN pg_class c ON c.relnamespace = n.oid
WHERE c.relname IN (SELECT relname FROM pg_class WHERE relnamespace = :ours AND relkind IN ('r', 'p'))
ORDER BY c.relname, place.number, own
"""
FIRST_OF_PATH = f"SELECT name, schema FROM ({FIRST_OF_PATH}) AS first WHERE NOT own"  # noqa: S608 - of constants

_SETTINGS = """(VALUES ('session_replication_role', 'origin'), ('transform_null_equals', 'off'),
    ('standard_conforming_strings', 'on'), ('zero_damaged_pages', 'off'), ('ignore_checksum_failure', 'off'),
    ('ignore_system_indexes', 'off')) AS wanted (name, expected)"""
SESSION_SETTINGS = f"""
SELECT wanted.name, current_setting(wanted.name) AS setting, wanted.expected FROM {_SETTINGS}
WHERE current_setting(wanted.name) <> wanted.expected
"""  # noqa: S608 - of constants
# The settings for all roles, for this database, and for each role that may write events. A superuser may write events,
# but its settings are read only if it owns the tables.
# No view of PostgreSQL is read: somebody may have replaced its definition. Only a superuser may write to pg_authid.
ROLE_SETTINGS = f"""
SELECT CASE s.setrole WHEN 0 THEN 'the database' ELSE 'the role ' || pg_get_userbyid(s.setrole) END AS who,
    CASE s.setrole WHEN 0 THEN current_user ELSE pg_get_userbyid(s.setrole) END AS role,
    split_part(setting, '=', 1) AS name,
    substr(setting, strpos(setting, '=') + 1) AS value
FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    AND (s.setrole = 0 OR pg_get_userbyid(s.setrole) = current_user OR EXISTS (SELECT FROM pg_class c
        WHERE c.relnamespace = :ours AND c.relname = 'events' AND (c.relowner = s.setrole
            OR (has_table_privilege(s.setrole, c.oid, 'INSERT')
                AND NOT has_table_privilege(s.setrole, 'pg_authid'::regclass, 'INSERT')))))
    AND (split_part(setting, '=', 1) IN ('search_path', 'role')
        OR EXISTS (SELECT FROM {_SETTINGS} WHERE wanted.name = split_part(setting, '=', 1)
            AND wanted.expected <> substr(setting, strpos(setting, '=') + 1)))
ORDER BY 1, 3
"""  # noqa: S608 - of constants
