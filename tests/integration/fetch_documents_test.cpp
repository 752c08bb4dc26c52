// Several small files at once.
#include "tests/integration/fetch_fixture.hpp"

#include "lib/fd.hpp"

#include <fstream>

namespace capsul::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class FetchDocuments : public FetchTest {
  protected:
    std::string text(const std::string& id) const { return read_all(folder_ / "documents" / id); }
};

TEST_F(FetchDocuments, GetsEachAndAgainOnlyWhatHasChanged) {
    server_.put("a", "first");
    server_.put("b", "second");
    const std::vector<fetch::DocumentRequest> wanted{document("a", "a"), document("b", "b")};
    EXPECT_EQ(fetch(wanted), 0);
    EXPECT_EQ(text("a"), "first");
    EXPECT_EQ(text("b"), "second");
    EXPECT_FALSE(outcomes()[0].unchanged);
    EXPECT_EQ(outcomes()[1].file.value().sha256, sha256_of("second"));
    server_.put("b", "changed");
    EXPECT_EQ(fetch(wanted), 0);
    EXPECT_EQ(text("a"), "first");
    EXPECT_EQ(text("b"), "changed");
    EXPECT_TRUE(outcomes()[0].unchanged);
    EXPECT_EQ(outcomes()[0].file.value().fetched, 0U);
    EXPECT_EQ(outcomes()[0].file.value().sha256, sha256_of("first"));
    EXPECT_FALSE(outcomes()[1].unchanged);
    EXPECT_EQ(sent(4), 5U + 6U + 7U);
}

TEST_F(FetchDocuments, OneThatFailsDoesNotFailTheRest) {
    server_.put("a", "first");
    EXPECT_EQ(fetch({document("missing", "none"), document("busy", "a?status=503"), document("a", "a")}), 0);
    EXPECT_EQ(outcomes()[0].error.value().code, "not_found");
    EXPECT_EQ(outcomes()[1].error.value().code, "unreachable");
    EXPECT_FALSE(outcomes()[2].error);
    EXPECT_EQ(text("a"), "first");
    EXPECT_FALSE(fs::exists(folder_ / "documents" / "missing"));
}

TEST_F(FetchDocuments, KeepsWhatItHasWhenTheServerIsAway) {
    server_.put("a", "first");
    EXPECT_EQ(fetch({document("a", "a")}), 0);
    fetch::DocumentRequest away = document("a", "a");
    away.url = Url::parse("http://127.0.0.1:1/a");
    EXPECT_EQ(fetch({away}), 0);
    EXPECT_EQ(outcomes()[0].error.value().code, "unreachable");
    EXPECT_EQ(text("a"), "first");
}

TEST_F(FetchDocuments, EndsOneThatIsAbsurdlyLong) {
    server_.put("a", "first");
    server_.put("long", "x");
    fs::resize_file(temporary_ / "served" / "long", 100'000'000);
    EXPECT_EQ(fetch({document("long", "long?rate=20000000"), document("chunks", "long?chunked=1"),
                     document("endless", "x?endless=1"), document("a", "a")}),
              0);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(outcomes()[i].error.value().code, "too_large");
        EXPECT_NE(outcomes()[i].error.value().message.find("is longer than the 1.0 MiB"), std::string::npos)
            << outcomes()[i].error.value().message;
    }
    EXPECT_EQ(text("a"), "first");
    EXPECT_LE(sent(4), 40'000'000U);
}

TEST_F(FetchDocuments, TakesFilesOfThisHost) {
    const fs::path file = temporary_ / "sums";
    std::ofstream(file) << "abc";
    fetch::DocumentRequest wanted = document("sums", "");
    wanted.url = Url::parse("file://" + file.string());
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_EQ(text("sums"), "abc");
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_TRUE(outcomes()[0].unchanged);
    std::ofstream(file) << "abcd";
    EXPECT_EQ(fetch({wanted}), 0);
    EXPECT_FALSE(outcomes()[0].unchanged);
    EXPECT_EQ(text("sums"), "abcd");
}

TEST_F(FetchDocuments, RefusesAWrongRequest) {
    EXPECT_EQ(fetch({document("a", "a"), document("a", "b")}), 2);
    EXPECT_EQ(refusal_, "documents: the id a stands twice");
    fetch::DocumentRequest large = document("a", "a");
    large.max_bytes = Bytes::parse("1G");
    EXPECT_EQ(fetch({large}), 2);
    EXPECT_EQ(refusal_, "documents: max_bytes of a is not between 1 and 64M");
    fetch::DocumentRequest both = document("a", "a");
    both.clearsigned_by = HostPath::parse("/keys");
    both.signature.emplace().url = both.url;
    both.signature->keyring = HostPath::parse("/keys");
    EXPECT_EQ(fetch({both}), 2);
    EXPECT_EQ(refusal_, "documents: a is signed beside it or within, and not both");
}

} // namespace
} // namespace capsul::test
