# Markdown tables of the medians: awk -f rows.awk -f table.awk.
{ read_row() }

function dash(text) { return text == "" ? "-" : text }

function bulk_head() {
    print "| stack | Gbit/s | low-high | CPU s/GB | sender | receiver | peak MiB | of TCP | of TCP+TLS | CPU of TCP+TLS | of limit |"
    print "|---|---|---|---|---|---|---|---|---|---|---|"
}

function bulk_row(r,    tls) {
    tls = reference(r, "tls-reference")
    printf "| %s | %.2f | %.2f-%.2f | %.2f | %.2f | %.2f | %.0f + %.0f | %s | %s | %s | %s |\n", name[r],
        median[r, "gbit_per_s"], low[r, "gbit_per_s"], high[r, "gbit_per_s"],
        median[r, "cpu_s_per_gb"], median[r, "cpu_s_per_gb_sender"],
        median[r, "cpu_s_per_gb_receiver"], median[r, "peak_mib_sender"],
        median[r, "peak_mib_receiver"],
        dash(ratio(r, reference(r, "tcp-reference"), "gbit_per_s")),
        dash(ratio(r, tls, "gbit_per_s")), dash(ratio(r, tls, "cpu_s_per_gb")),
        dash(ratio(r, limit_of(r), "gbit_per_s"))
}

# Any other section: a column a key.
function other_head(r,    n, i, key) {
    n = split(keys[r], key, " ")
    printf "| %s |", section[r]
    for (i = 1; i <= n; i++) {
        gsub(/_/, " ", key[i])
        printf " %s |", key[i]
    }
    printf "\n|---|"
    for (i = 1; i <= n; i++) printf "---|"
    print ""
}

function other_row(r,    n, i, key) {
    n = split(keys[r], key, " ")
    printf "| %s |", name[r]
    for (i = 1; i <= n; i++)
        printf(runs[r] > 1 ? " %.5g (%.5g-%.5g) |" : " %.5g |", median[r, key[i]], low[r, key[i]],
            high[r, key[i]])
    print ""
}

END {
    printf "%s, %d processors%s, Linux %s, OpenSSL %s, commit %s; ", processor,
        processors, pinned == 1 ? " (one a side)" : "", kernel, openssl, commit
    printf "medians of %d rounds of %s s\n", rounds, seconds
    for (r = 1; r <= rows; r++) {
        if (section[r] != section[r - 1] || network[r] != network[r - 1] ||
            section[r] != "bulk" && keys[r] != keys[r - 1]) {
            printf "\n%s, %s:\n\n", section[r], network[r]
            if (section[r] == "bulk") bulk_head(); else other_head(r)
        }
        if (section[r] == "bulk") bulk_row(r); else other_row(r)
    }
}
