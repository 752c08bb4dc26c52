#include "daemon/problem.hpp"

#include <cstdio>
#include <exception>
#include <fmt/format.h>

namespace capsul {
namespace {

Problem unexpected(std::string_view doing, const char* words) {
    fmt::print(stderr, "<3>{}: unexpected: {}\n", doing, words);
    return Problem::from(Error(ErrorCode::internal, "capsuld failed in a way it should not",
                               "its journal says more: journalctl --user -u capsuld"));
}

} // namespace

Problem problem_of_current_exception(std::string_view doing) {
    try {
        throw;
    } catch (const Error& error) {
        return Problem::from(error);
    } catch (const std::exception& error) {
        return unexpected(doing, error.what());
    } catch (...) {
        return unexpected(doing, "not a std::exception");
    }
}

} // namespace capsul
