#include "lib/error.hpp"

#include <array>
#include <cerrno>
#include <system_error>

namespace capsul {
namespace {

struct CodeRow {
    ErrorCode code;
    std::string_view word;
    int exit;
    unsigned status;
};

constexpr std::array<CodeRow, 15> rows{{
    {ErrorCode::invalid, "invalid", 2, 400},
    {ErrorCode::too_large, "too_large", 2, 413},
    {ErrorCode::not_found, "not_found", 3, 404},
    {ErrorCode::exists, "exists", 4, 409},
    {ErrorCode::in_use, "in_use", 4, 409},
    {ErrorCode::wrong_state, "wrong_state", 4, 409},
    {ErrorCode::busy, "busy", 4, 429},
    {ErrorCode::timeout, "timeout", 5, 504},
    {ErrorCode::unreachable, "unreachable", 6, 502},
    {ErrorCode::denied, "denied", 7, 403},
    {ErrorCode::not_capable, "not_capable", 8, 501},
    {ErrorCode::partial, "partial", 9, 500},
    {ErrorCode::verification, "verification", 10, 422},
    {ErrorCode::no_space, "no_space", 125, 507},
    {ErrorCode::internal, "internal", 125, 500},
}};

const CodeRow& row_of(ErrorCode code) {
    for (const CodeRow& row : rows) {
        if (row.code == code) {
            return row;
        }
    }
    return rows.back();
}

ErrorCode code_of_errno(int number) {
    switch (number) {
    case ENOSPC:
    case EDQUOT:
        return ErrorCode::no_space;
    case EACCES:
    case EPERM:
        return ErrorCode::denied;
    case ENOENT:
        return ErrorCode::not_found;
    default:
        return ErrorCode::internal;
    }
}

} // namespace

std::string_view to_string(ErrorCode code) {
    return row_of(code).word;
}

ErrorCode error_code_from(std::string_view word) {
    for (const CodeRow& row : rows) {
        if (row.word == word) {
            return row.code;
        }
    }
    return ErrorCode::internal;
}

int exit_code(ErrorCode code) {
    return row_of(code).exit;
}

unsigned http_status(ErrorCode code) {
    return row_of(code).status;
}

void throw_errno(int number, const std::string& what) {
    throw Error(code_of_errno(number), what + ": " + std::generic_category().message(number));
}

} // namespace capsul
