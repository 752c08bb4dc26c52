#include "daemon/fetch/retries.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul::fetch {
namespace {

using std::chrono::milliseconds;

constexpr int most_tries = 100;

} // namespace

milliseconds Retries::wait_after(const PassingError& error, bool brought_something) {
    ++in_all_;
    in_vain_ = brought_something ? 0 : in_vain_ + 1;
    if (in_vain_ >= patience_.tries || in_all_ >= most_in_all) {
        throw Error(error.code(), fmt::format("{} (tried {} times)", error.what(), in_all_), error.hint());
    }
    milliseconds wait = patience_.first_wait.value();
    for (int i = 1; i < in_vain_ && wait < patience_.longest_wait.value(); ++i) {
        wait *= 2;
    }
    wait = std::min(wait, patience_.longest_wait.value());
    wait = milliseconds(std::uniform_int_distribution<std::int64_t>(wait.count() / 2, wait.count())(random_));
    const milliseconds asked = error.later().value_or(std::chrono::seconds(0));
    return std::max(wait, std::min(asked, patience_.longest_wait.value()));
}

void check_patience(const FetchPatience& patience) {
    if (patience.tries < 1 || patience.tries > most_tries) {
        throw Error(ErrorCode::invalid,
                    fmt::format("patience.tries: {} is not between 1 and {}", patience.tries, most_tries));
    }
    if (patience.stall.value() < std::chrono::seconds(1)) {
        throw Error(ErrorCode::invalid, "patience.stall: is less than a second");
    }
}

} // namespace capsul::fetch
