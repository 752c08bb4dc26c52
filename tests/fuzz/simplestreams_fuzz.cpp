// Any bytes as the index or a list of products of a simplestreams source.
#include "tests/fuzz/catalogue_checks.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const capsul::ImageSource source =
        capsul::fuzzed_source(capsul::SourceKind::simplestreams, "https://example.org/releases/");
    static const auto documents = [] {
        auto both = capsul::documents_of(source, {capsul::Architecture::x86_64});
        both.push_back(both.front());
        both.back().id = capsul::Name::parse("products-0");
        return both;
    }();
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    capsul::check_documents(source, documents, text);
    return 0;
}
