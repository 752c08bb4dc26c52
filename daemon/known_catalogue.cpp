#include "daemon/known_catalogue.hpp"

#include "daemon/fetch_folder.hpp"
#include "lib/fd.hpp"
#include "lib/json.hpp"

namespace capsul {
namespace {

fs::path file(const Paths& paths) {
    return paths.data / "catalogue.json";
}

} // namespace

KnownCatalogue known_catalogue(const Paths& paths) {
    std::error_code unreadable;
    if (!fs::exists(file(paths), unreadable)) {
        return {};
    }
    try {
        return parse<KnownCatalogue>(read_file(file(paths), most_catalogue_bytes));
    } catch (const Error&) {
        return {}; // it is fetched anew
    }
}

void keep_catalogue(const Paths& paths, const KnownCatalogue& known) {
    replace_file(file(paths), dump_json(encode(known)) + "\n");
}

} // namespace capsul
