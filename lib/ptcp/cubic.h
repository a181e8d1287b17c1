/* CUBIC (RFC 9438) with HyStart++; the pure formulas are here for the tests. */
#ifndef STK_PTCP_CUBIC_H
#define STK_PTCP_CUBIC_H

/* W_cubic(t) in segments: C * (t - k)^3 + w_max. Times in seconds. */
double ptcp_cubic_window(double t_s, double k_s, double w_max);
/* K in seconds: how long the window takes from `w` back to `w_max` (segments). */
double ptcp_cubic_k(double w_max, double w);

#endif
