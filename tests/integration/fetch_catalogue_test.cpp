// What sources of images publish, from one time to the next.
#include "tests/integration/fetch_fixture.hpp"

#include <set>

namespace capsul::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class FetchCatalogue : public FetchTest {
  protected:
    FetchCatalogue() {
        for (const char* name : {"a.json", "b.json"}) {
            server_.put(name, R"({"format": 1, "images": []})");
        }
    }
    /// Asks sources whose indexes these are.
    void ask_sources(const std::vector<std::string>& indexes) const {
        CatalogueRequest request;
        for (const std::string& index : indexes) {
            ImageSource source;
            source.name = Name::parse("source-" + std::to_string(request.sources.size()));
            source.url = server_.url(index);
            request.sources.push_back(source);
        }
        request.architectures = {host_architecture()};
        request.patience = impatience();
        ask(encode(request));
        EXPECT_EQ(run_process(command("catalogue"), 60s).status, 0);
    }
    /// All that is there of documents.
    std::set<fs::path> kept() const {
        std::set<fs::path> files;
        for (const char* folder : {fetch::served_documents_folder, fetched_documents_folder}) {
            for (const auto& entry : fs::directory_iterator(folder_ / folder)) {
                files.insert(entry.path());
            }
        }
        return files;
    }
};

TEST_F(FetchCatalogue, KeepsNoDocumentThatIsNoLongerWanted) {
    ask_sources({"b.json"});
    const auto of_b = kept();
    ask_sources({"a.json", "b.json"});
    EXPECT_EQ(kept().size(), 2 * of_b.size());
    ask_sources({"b.json"});
    EXPECT_EQ(kept(), of_b);
    ask_sources({"b.json"});
    EXPECT_EQ(kept(), of_b);
}

TEST_F(FetchCatalogue, KeepsAllWhileASourceIsSilent) {
    ask_sources({"a.json"});
    const auto of_a = kept();
    ask_sources({"b.json", "a.json?status=503"});
    EXPECT_EQ(kept().size(), 2 * of_a.size()) << "what it may lead to is not known";
}

} // namespace
} // namespace capsul::test
