#include "lib/route.hpp"

#include "lib/mac.hpp"
#include "lib/size.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

struct Everything {
    std::string name;
    bool force = false;
    std::optional<int> count;
    std::vector<std::string> labels;
    static constexpr Route route{Method::get, "/v1/things/{name}/all", Answer::value};
    static constexpr auto fields() {
        return field_list(required("name", &Everything::name), optional("force", &Everything::force),
                          optional("count", &Everything::count), optional("labels", &Everything::labels));
    }
};

Json query(std::string_view text) {
    return query_to_json<Everything>(parse_query(text));
}

TEST(Route, PutsPathFieldsInThePathAndTheRestInTheQuery) {
    const RequestTarget target = make_target(
        Everything::route, {{"name", "web"}, {"force", true}, {"count", 3}, {"labels", {"a", "b"}}});
    EXPECT_EQ(target.target, "/v1/things/web/all?force=true&count=3&labels=a&labels=b");
    EXPECT_EQ(target.body, "");
}

TEST(Route, PutsTheRestOfAPostInTheBody) {
    const Route route{Method::post, "/v1/things/{name}", Answer::value};
    const RequestTarget target = make_target(route, {{"name", "web"}, {"count", 3}});
    EXPECT_EQ(target.target, "/v1/things/web");
    EXPECT_EQ(target.body, R"({"count":3})");
}

TEST(Route, PutsTheRestOfAnUploadInTheQuery) {
    const Route route{Method::post, "/v1/files", Answer::upload};
    EXPECT_EQ(make_target(route, {{"size", 3}}).target, "/v1/files?size=3");
}

TEST(Route, LeavesOutWhatIsNull) {
    EXPECT_EQ(make_target({Method::get, "/v1/x", Answer::value}, {{"count", nullptr}}).target, "/v1/x");
}

TEST(Route, EncodesWhatIsNotPlainAndDecodesItAgain) {
    const std::string odd = "a/b c&d=e%?#\xc3\xa9";
    const RequestTarget target =
        make_target({Method::get, "/v1/x/{name}", Answer::value}, {{"name", odd}, {"text", odd}});
    const auto mark = target.target.find('?');
    EXPECT_EQ(match_path("/v1/x/{name}", target.target.substr(0, mark)).value().at("name"), odd);
    EXPECT_EQ(parse_query(target.target.substr(mark + 1)), (Query{{"text", odd}}));
}

TEST(Route, MatchesWholePathsOnly) {
    EXPECT_TRUE(match_path("/v1/vms", "/v1/vms"));
    EXPECT_FALSE(match_path("/v1/vms", "/v1/vms/web"));
    EXPECT_FALSE(match_path("/v1/vms", "/v1"));
    EXPECT_FALSE(match_path("/v1/vms", "/v1/vmsx"));
    EXPECT_FALSE(match_path("/v1/vms", "v1/vms"));
    EXPECT_FALSE(match_path("/v1/vms/{name}", "/v1/vms/"));
    EXPECT_FALSE(match_path("/v1/vms/{name}", "/v1/vms"));
    EXPECT_FALSE(match_path("/v1/vms/{name}", "/v1/vms/a/b"));
}

TEST(Route, RefusesBadPercentEncoding) {
    for (const char* bad : {"a%", "a%2", "a%zz", "a%2x", "%+1"}) {
        EXPECT_THROW(static_cast<void>(parse_query(bad)), Error) << bad;
        EXPECT_THROW(static_cast<void>(match_path("/{name}", std::string("/") + bad)), Error) << bad;
    }
}

TEST(Route, GivesQueryValuesTheTypesOfTheFields) {
    EXPECT_EQ(query("force=true&count=3&labels=a"), Json({{"force", true}, {"count", 3}, {"labels", {"a"}}}));
    EXPECT_EQ(query("force"), Json({{"force", true}}));
    EXPECT_EQ(query("force=0"), Json({{"force", false}}));
    EXPECT_EQ(query("labels=1&labels=true"), Json({{"labels", {"1", "true"}}}));
    EXPECT_EQ(query("name=5"), Json({{"name", "5"}}));
}

TEST(Route, LeavesToDecodeWhatDoesNotFit) {
    EXPECT_THROW(static_cast<void>(decode<Everything>(query("name=a&count=many"))), Error);
    EXPECT_THROW(static_cast<void>(decode<Everything>(query("name=a&force=maybe"))), Error);
    EXPECT_THROW(static_cast<void>(decode<Everything>(query("name=a&other=1"))), Error);
}

TEST(Route, RefusesAKeyTwiceUnlessItRepeats) {
    EXPECT_THROW(query("count=1&count=2"), Error);
}

} // namespace
} // namespace capsul
