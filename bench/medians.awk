# From samples, "SECTION NETWORK NAME KEY=VALUE…", to one line a row in the order of their first
# appearance: "SECTION NETWORK NAME RUNS KEY=MEDIAN,LOW,HIGH…".

{
    row = $1 " " $2 " " $3
    if (!(row in runs)) order[++rows] = row
    runs[row]++
    for (i = 4; i <= NF; i++) {
        at = index($i, "=")
        key = substr($i, 1, at - 1)
        if (!((row, key) in count)) keys[row] = keys[row] " " key
        value[row, key, ++count[row, key]] = substr($i, at + 1) + 0
    }
}

function sort(list, n,    i, j, v) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
            v = list[j]; list[j] = list[j - 1]; list[j - 1] = v
        }
}

function summary(row, key,    list, n, i, middle) {
    n = count[row, key]
    for (i = 1; i <= n; i++) list[i] = value[row, key, i]
    sort(list, n)
    middle = n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
    return sprintf("%.6g,%.6g,%.6g", middle, list[1], list[n])
}

END {
    for (r = 1; r <= rows; r++) {
        line = order[r] " " runs[order[r]]
        n = split(keys[order[r]], list, " ")
        for (k = 1; k <= n; k++) line = line " " list[k] "=" summary(order[r], list[k])
        print line
    }
}
