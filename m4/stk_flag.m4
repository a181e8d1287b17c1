# STK_FLAG(VARIABLE, FLAG): adds the flag to the variable where the compiler and linker take it.
AC_DEFUN([STK_FLAG], [
  AS_VAR_PUSHDEF([cache], [stk_cv_flag_$2])
  AC_CACHE_CHECK([whether $CC takes $2], [cache], [
    stk_saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_LINK_IFELSE([AC_LANG_SOURCE([[#include <string.h>
int main(int c, char **v) { char b[8]; memset(b, c, sizeof(b)); return b[0] == v[0][0]; }]])],
      [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
    CFLAGS=$stk_saved_CFLAGS])
  AS_VAR_IF([cache], [yes], [$1="$$1 $2"])
  AS_VAR_POPDEF([cache])
])
