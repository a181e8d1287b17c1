/* Messages as bytes, and the events that a reader must make of them however they are cut. */
#ifndef STK_TESTS_HTTP_TRACES_H
#define STK_TESTS_HTTP_TRACES_H

/* A trace is: "METHOD target HTTP/1.x" or "status", then "+body" per message, "." at its end, and
 * "!status" for an error. */
struct trace_case {
    const char *name, *input, *trace;
};

#define HOST "Host: a\r\n"

static const struct trace_case request_cases[] = {
    {"a plain GET", "GET / HTTP/1.1\r\n" HOST "\r\n", "GET / 1.1."},
    {"no Host in HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n", "GET /x 1.0."},
    {"one empty line before", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "GET / 1.1."},
    {"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"pipelined", "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n",
     "GET /1 1.1.GET /2 1.1."},
    {"a length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "POST / 1.1+hello."},
    {"a length of 0", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "POST / 1.1."},
    {"a body and then a request",
     "PUT /1 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\n" HOST "\r\n",
     "PUT /1 1.1+abc.GET /2 1.1."},
    {"chunks",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n world, "
     "yo\r\n0\r\n\r\n",
     "POST / 1.1+hello world, yo."},
    {"chunk extensions and trailers",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n"
     "0;x\r\nT: 1\r\nU: 2\r\n\r\n",
     "POST / 1.1+abc."},
    {"chunked in capitals",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
     "POST / 1.1+x."},
    {"a body that GET has", "GET / HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi",
     "GET / 1.1+hi."},
    {"an absolute target", "GET http://b:8/p?q HTTP/1.1\r\n" HOST "\r\n", "GET /p?q 1.1."},
    {"an absolute target without a path", "GET http://b HTTP/1.1\r\n" HOST "\r\n", "GET / 1.1."},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS * 1.1."},
    {"CONNECT", "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", "CONNECT a:1 1.1."},
    {"an upgrade is a request like others",
     "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "GET / 1.1."},
    {"Expect", "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
     "PUT / 1.1+x."},
    {"other bytes in a value", "GET / HTTP/1.1\r\n" HOST "X: \xc3\xa4\t.\r\n\r\n", "GET / 1.1."},
    {"an empty value", "GET / HTTP/1.1\r\n" HOST "X:\r\n\r\n", "GET / 1.1."},

    /* Start lines. */
    {"nonsense", "hello\r\n\r\n", "!400"},
    {"a TLS hello", "\x16\x03\x01\x02", "!400"},
    {"HTTP/0.9", "GET /\r\n\r\n", "!400"},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n" HOST "\r\n", "!505"},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", "!505"},
    {"HTTP/3.7", "GET / HTTP/3.7\r\n" HOST "\r\n", "!505"},
    {"a malformed version", "GET / HTTP/1.x\r\n" HOST "\r\n", "!400"},
    {"small http", "GET / http/1.1\r\n" HOST "\r\n", "!400"},
    {"two spaces", "GET  / HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"a space at the end", "GET / HTTP/1.1 \r\n" HOST "\r\n", "!400"},
    {"a tab between", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"a space within the target", "GET /a b HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"leading space", " GET / HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"an unknown method", "BREW / HTTP/1.1\r\n" HOST "\r\n", "!501"},
    {"an endless method", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "!501"},
    {"a method in small letters", "get / HTTP/1.1\r\n" HOST "\r\n", "!501"},
    {"a fragment", "GET /#x HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"a byte above ASCII in the target", "GET /\xff HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"* with GET", "GET * HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"a target without a slash", "GET x HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"another scheme", "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", "!400"},
    {"a user in the target", "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", "!400"},

    /* Lines. */
    {"bare LF", "GET / HTTP/1.1\nHost: a\n\n", "!400"},
    {"bare LF in a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "!400"},
    {"bare LF at the end", "GET / HTTP/1.1\r\n" HOST "\n", "!400"},
    {"bare CR in a value", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", "!400"},
    {"CR before a field", "GET / HTTP/1.1\r\n" HOST "\rContent-Length: 1\r\n\r\nx", "!400"},
    {"CR CR LF", "GET / HTTP/1.1\r\r\n" HOST "\r\n", "!400"},
    {"folding", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", "!400"},
    {"folding by a tab", "GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n", "!400"},
    {"a folded first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "!400"},
    {"a space before the colon", "GET / HTTP/1.1\r\n" HOST "Content-Length : 1\r\n\r\nx", "!400"},
    {"no colon", "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", "!400"},
    {"no name", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", "!400"},
    {"a control in a value", "GET / HTTP/1.1\r\n" HOST "X: \x01\r\n\r\n", "!400"},
    {"DEL in a value", "GET / HTTP/1.1\r\n" HOST "X: \x7f\r\n\r\n", "!400"},

    /* Hosts. */
    {"no Host", "GET / HTTP/1.1\r\n\r\n", "!400"},
    {"two Hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", "!400"},
    {"a strange Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "!400"},
    {"a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "!400"},

    /* Smuggling. */
    {"a length and chunks",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "!400"},
    {"chunks and a length",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
     "!400"},
    {"two lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
     "!400"},
    {"two equal lengths",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "!400"},
    {"a list of lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n\r\na", "!400"},
    {"a signed length", "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\na", "!400"},
    {"a negative length", "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\na", "!400"},
    {"a hexadecimal length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\na", "!400"},
    {"a length with a space", "POST / HTTP/1.1\r\n" HOST "Content-Length: 1 2\r\n\r\na", "!400"},
    {"an empty length", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", "!400"},
    {"a huge length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n",
     "!400"},
    {"chunked twice", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n",
     "!501"},
    {"two codings fields",
     "POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "!501"},
    {"chunked is not last", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, x\r\n\r\n",
     "!400"},
    {"xchunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "!400"},
    {"chunked with a vertical tab",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b"
     "chunked\r\n\r\n0\r\n\r\n",
     "!400"},
    {"gzip, chunked", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
     "!501"},
    {"identity", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", "!400"},
    {"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "!400"},

/* Chunks. */
#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
    {"no size", CHUNKED "\r\nabc", "POST / 1.1!400"},
    {"a size with a sign", CHUNKED "+3\r\nabc\r\n0\r\n\r\n", "POST / 1.1!400"},
    {"a size with 0x", CHUNKED "0x3\r\nabc\r\n0\r\n\r\n", "POST / 1.1!400"},
    {"a size with a space", CHUNKED "3 \r\nabc\r\n0\r\n\r\n", "POST / 1.1!400"},
    {"a size after a space", CHUNKED " 3\r\nabc\r\n0\r\n\r\n", "POST / 1.1!400"},
    {"a huge size", CHUNKED "ffffffffffffffffff\r\n", "POST / 1.1!400"},
    {"bare LF after a size", CHUNKED "3\nabc\r\n0\r\n\r\n", "POST / 1.1!400"},
    {"bare LF after a chunk", CHUNKED "3\r\nabc\n0\r\n\r\n", "POST / 1.1+abc!400"},
    {"a chunk longer than its size", CHUNKED "3\r\nabcd\r\n0\r\n\r\n", "POST / 1.1+abc!400"},
    {"bare LF in an extension", CHUNKED "3;a\nb\r\nabc\r\n0\r\n\r\n", "POST / 1.1!400"},
    {"bare LF after the last chunk", CHUNKED "0\n\r\n", "POST / 1.1!400"},
    {"bare LF after trailers", CHUNKED "0\r\nA: b\r\n\n", "POST / 1.1!400"},
    {"a folded trailer", CHUNKED "0\r\nA: b\r\n c\r\n\r\n", "POST / 1.1!400"},
    {"a trailer without a colon", CHUNKED "0\r\nA\r\n\r\n", "POST / 1.1!400"},

    /* Expectations. */
    {"an unknown expectation", "GET / HTTP/1.1\r\n" HOST "Expect: wonders\r\n\r\n", "!417"},

    /* Cut off. */
    {"half a head", "GET / HTTP/1.1\r\nHos", "!400"},
    {"half a body", "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhe", "POST / 1.1+he!400"},
    {"half a chunk", CHUNKED "5\r\nhe", "POST / 1.1+he!400"},
    {"no last chunk", CHUNKED "2\r\nhe\r\n", "POST / 1.1+he!400"},
    {"no end of trailers", CHUNKED "2\r\nhe\r\n0\r\n", "POST / 1.1+he!400"},
};

static const struct trace_case response_cases[] = {
    {"a length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200+hi."},
    {"no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200."},
    {"not even a space", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200."},
    {"a body up to the end", "HTTP/1.1 200 OK\r\n\r\nall of it", "200+all of it."},
    {"an old body up to the end", "HTTP/1.0 200 OK\r\n\r\nold", "200+old."},
    {"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     "200+abc."},
    {"204", "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
     "204.200+x."},
    {"304 with a length",
     "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
     "0\r\n\r\n",
     "304.200."},
    {"100 and then the answer",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "100.200+x."},
    {"two responses",
     "HTTP/1.1 200 A\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 404 B\r\nContent-Length: 0\r\n\r\n",
     "200+x.404."},
    {"101", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "!400"},
    {"a status of 99", "HTTP/1.1 099 Low\r\n\r\n", "!400"},
    {"a status of 999", "HTTP/1.1 999 High\r\n\r\n", "!400"},
    {"a status of 2", "HTTP/1.1 2 Low\r\n\r\n", "!400"},
    {"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", "!505"},
    {"ICY", "ICY 200 OK\r\n\r\n", "!400"},
    {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "!400"},
    {"folding", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", "!400"},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "!400"},
    {"a length and chunks",
     "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "!400"},
    {"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", "!400"},
    {"a cut length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "200+he!400"},
    {"cut chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
     "200+hello!400"},
    {"a cut head", "HTTP/1.1 200 OK\r\nConte", "!400"},
    {"an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", "!400"},
};

#endif
