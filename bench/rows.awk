# What table.awk and json.awk share: reading the lines of medians.awk, and what rows compare to.

function read_row(    i, at, part) {
    row = ++rows
    section[row] = $1; network[row] = $2; name[row] = $3; runs[row] = $4
    for (i = 5; i <= NF; i++) {
        at = index($i, "=")
        split(substr($i, at + 1), part, ",")
        keys[row] = keys[row] substr($i, 1, at - 1) " "
        median[row, substr($i, 1, at - 1)] = part[1]
        low[row, substr($i, 1, at - 1)] = part[2]
        high[row, substr($i, 1, at - 1)] = part[3]
    }
    at_name[$1, $2, $3] = row
}

# The row of raw UDP with datagrams as large and the same cipher library: "" if there is none.
function limit_of(r,    base) {
    if (section[r] != "bulk" || name[r] !~ /^\/udp\// || name[r] ~ /\/tls/) return ""
    base = network[r] == "veth" || name[r] ~ /mtu=1472/ ? "udp-gso" : "udp-64k"
    if (name[r] !~ /\/seal/) return at_name["bulk", network[r], base]
    if (name[r] !~ /openssl/ && (("bulk", network[r], base "-ipsec-mb") in at_name))
        base = base "-ipsec-mb"
    else
        base = base "-openssl"
    return at_name["bulk", network[r], base]
}

function ratio(r, other, key) {
    if (other == "" || !median[other, key]) return ""
    return sprintf("%.2f", median[r, key] / median[other, key])
}

function reference(r, other) { return at_name[section[r], network[r], other] }
