// What libstdc++'s headers call when a precondition is broken: the end. The program is not linked with
// libstdc++.
#include <string_view>

namespace std {

#ifdef _GLIBCXX_ASSERTIONS
void __glibcxx_assert_fail(const char* /*file*/, int /*line*/, const char* /*function*/,
                           const char* /*condition*/) noexcept {
    __builtin_trap();
}
#endif

void __throw_out_of_range_fmt(const char* /*format*/, ...) {
    __builtin_trap();
}

} // namespace std
