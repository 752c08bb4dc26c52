// Any bytes as an index of images in capsul's own form, and as a URL in one.
#include "lib/error.hpp"
#include "tests/fuzz/catalogue_checks.hpp"

namespace {

void check_url(std::string_view text) {
    try {
        const capsul::Url url = capsul::Url::parse(text);
        capsul::must(capsul::Url::parse(url.to_string()) == url);
        capsul::must(url.to_string().starts_with(url.folder().to_string()));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch): refusing is right
    }
    try {
        const capsul::Url base = capsul::Url::parse("https://example.org/images/x");
        const capsul::Url url = base.resolve(text);
        capsul::must(url.to_string() == "https://example.org/images/" + std::string(text));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch)
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const capsul::ImageSource source =
        capsul::fuzzed_source(capsul::SourceKind::index, "https://example.org/images/index.json");
    static const auto documents = capsul::documents_of(source, {});
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    capsul::check_documents(source, documents, text);
    check_url(text);
    return 0;
}
