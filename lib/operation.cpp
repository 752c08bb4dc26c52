#include "lib/operation.hpp"

namespace capsul {

Problem Problem::from(const Error& error) {
    return {error.what(), http_status(error.code()), std::string(to_string(error.code())), error.hint()};
}

Error Problem::to_error() const {
    return {error_code_from(code), title, hint};
}

} // namespace capsul
