# The medians as JSON: awk -f rows.awk -f json.awk.
{ read_row() }

function number(text) { return text == "" ? "null" : text }

function print_row(r,    n, i, key, tls) {
    printf "    {\"section\": \"%s\", \"network\": \"%s\", \"name\": \"%s\", \"runs\": %d", section[r],
        network[r], name[r], runs[r]
    n = split(keys[r], key, " ")
    for (i = 1; i <= n; i++)
        printf ",\n     \"%s\": {\"median\": %s, \"low\": %s, \"high\": %s}", key[i],
            median[r, key[i]], low[r, key[i]], high[r, key[i]]
    if (section[r] == "bulk") {
        tls = reference(r, "tls-reference")
        printf ",\n     \"of_tcp\": %s, \"of_tls\": %s, \"of_tls_bbr\": %s, \"cpu_of_tls\": %s, \"of_limit\": %s",
            number(ratio(r, reference(r, "tcp-reference"), "gbit_per_s")),
            number(ratio(r, tls, "gbit_per_s")),
            number(ratio(r, reference(r, "tls-reference,cc=bbr"), "gbit_per_s")),
            number(ratio(r, tls, "cpu_s_per_gb")),
            number(ratio(r, limit_of(r), "gbit_per_s"))
    }
    printf "}%s\n", r < rows ? "," : ""
}

END {
    printf "{\n  \"commit\": \"%s\",\n  \"kernel\": \"%s\",\n", commit, kernel
    printf "  \"processor\": \"%s\",\n  \"processors\": %d,\n", processor, processors
    printf "  \"pinned\": %s,\n  \"openssl\": \"%s\",\n", pinned == 1 ? "true" : "false", openssl
    printf "  \"rounds\": %d,\n  \"seconds\": %s,\n  \"rows\": [\n", rounds, seconds
    for (r = 1; r <= rows; r++) print_row(r)
    print "  ]\n}"
}
