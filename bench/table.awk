# Markdown tables of the medians: awk -f rows.awk -f table.awk.
{ read_row() }

function dash(text) { return text == "" ? "-" : text }

function bulk_head() {
    print "| stack | Gbit/s | low-high | CPU s/GB | sender | receiver | peak MiB | of TCP | of TCP+TLS | of TCP+TLS, BBR | CPU of TCP+TLS | of limit |"
    print "|---|---|---|---|---|---|---|---|---|---|---|---|"
}

function bulk_row(r,    tls) {
    tls = reference(r, "tls-reference")
    printf "| %s | %.2f | %.2f-%.2f | %.2f | %.2f | %.2f | %.0f + %.0f | %s | %s | %s | %s | %s |\n", name[r],
        median[r, "gbit_per_s"], low[r, "gbit_per_s"], high[r, "gbit_per_s"],
        median[r, "cpu_s_per_gb"], median[r, "cpu_s_per_gb_sender"],
        median[r, "cpu_s_per_gb_receiver"], median[r, "peak_mib_sender"],
        median[r, "peak_mib_receiver"],
        dash(ratio(r, reference(r, "tcp-reference"), "gbit_per_s")),
        dash(ratio(r, tls, "gbit_per_s")),
        dash(ratio(r, reference(r, "tls-reference,cc=bbr"), "gbit_per_s")),
        dash(ratio(r, tls, "cpu_s_per_gb")),
        dash(ratio(r, limit_of(r), "gbit_per_s"))
}

# Any other section: a column for each key of its rows.
function columns(r,    i, n, k, list, seen, all) {
    for (i = r; i <= rows && section[i] == section[r] && network[i] == network[r]; i++) {
        n = split(keys[i], list, " ")
        for (k = 1; k <= n; k++) {
            if (list[k] in seen) continue
            seen[list[k]] = 1
            all = all list[k] " "
        }
    }
    return all
}

function other_head(r,    n, i) {
    n = split(columns(r), column, " ")
    printf "| %s |", section[r]
    for (i = 1; i <= n; i++) {
        printf " %s |", column[i]
    }
    printf "\n|---|"
    for (i = 1; i <= n; i++) printf "---|"
    print ""
    return n
}

function short(value) { return sprintf(value >= 1000 ? "%.0f" : "%.4g", value) }

function cell(r, key) {
    if (!((r, key) in median)) return "-"
    if (low[r, key] == high[r, key]) return short(median[r, key])
    return short(median[r, key]) " (" short(low[r, key]) "-" short(high[r, key]) ")"
}

function other_row(r, n,    i) {
    printf "| %s |", name[r]
    for (i = 1; i <= n; i++) printf " %s |", cell(r, column[i])
    print ""
}

END {
    printf "%s, %d processors%s, Linux %s, OpenSSL %s, commit %s; ", processor, processors,
        pinned == 1 ? " (one a side)" : "", kernel, openssl, commit
    printf "medians of %d rounds, bulk of %s s\n", rounds, seconds
    for (r = 1; r <= rows; r++) {
        if (section[r] != section[r - 1] || network[r] != network[r - 1]) {
            printf "\n%s, %s:\n\n", section[r], network[r]
            if (section[r] == "bulk") bulk_head(); else n = other_head(r)
        }
        if (section[r] == "bulk") bulk_row(r); else other_row(r, n)
    }
}
